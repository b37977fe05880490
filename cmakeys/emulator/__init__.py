"""A CMA-SPDM device in software: its PKI, its measurements, its server and its lies."""
