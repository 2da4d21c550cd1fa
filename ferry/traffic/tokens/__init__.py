"""Short-lived tokens for the gateway, and the filters that check them."""
