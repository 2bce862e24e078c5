"""`demo`: the main job from end to end, on a Planet simulated on this machine, checked from both sides."""
