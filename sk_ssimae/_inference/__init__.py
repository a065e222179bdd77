"""Steps before and after the network, without torch: regions, noise, decisions."""
