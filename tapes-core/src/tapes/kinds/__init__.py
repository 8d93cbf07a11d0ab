"""The five kinds of metrics, one module each. No other module knows their statistics keys."""
