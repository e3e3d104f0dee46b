"""What the longer commands do; `monitor.cli` declares them."""
