"""What a month costs: at home, on AWS, and in both. Planning uses it; it imports no verb."""
