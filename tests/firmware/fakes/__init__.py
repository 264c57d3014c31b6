"""The fakes of the device modules behave as the device does, each property with its own test."""
