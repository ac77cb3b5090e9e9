"""What is measured: one module per scenario, each of them one system's turn."""
