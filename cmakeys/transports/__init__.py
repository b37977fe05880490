"""How bytes reach a device: emulator socket, TCP, recordings; deadlines and bounded retries."""
