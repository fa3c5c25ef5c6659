"""What a decision is based on: metrics, what changed since the last approval, and rules over both."""
