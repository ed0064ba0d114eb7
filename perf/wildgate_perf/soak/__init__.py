"""What a gateway holds over time: nothing may grow that is not given back."""
