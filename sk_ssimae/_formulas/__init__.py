"""The formulas of the method, written once for NumPy arrays and torch tensors."""
