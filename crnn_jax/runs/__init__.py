"""What a run keeps in its folder and shows while it trains."""
