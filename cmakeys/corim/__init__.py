"""CoRIM (draft-ietf-rats-corim): files in which a vendor says what the measurements of its devices should be.

`decoding` reads CBOR, `signature` says who signed, `manifest` what the file claims, `matching` what of it is about a
device. What a device measured is held against the claims in `verify.statement`.
"""
