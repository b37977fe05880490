"""How an emulated device misbehaves: one small class per way of lying, hooked into the honest responder."""
