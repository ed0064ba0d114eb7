"""Videos and requests changed at random: nothing that parses them may crash, hang, or cost more than a video may."""
