"""Acts: watches, writes, asks, prints. Decides nothing."""
