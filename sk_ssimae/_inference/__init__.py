"""What comes before and after the network: from images to maps, masks and scores, without torch."""
