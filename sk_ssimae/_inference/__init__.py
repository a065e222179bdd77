"""Steps before and after the network, without torch: regions, residuals, decisions."""
