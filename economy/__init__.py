"""A virtual-economy service: coins, products, inventory."""
