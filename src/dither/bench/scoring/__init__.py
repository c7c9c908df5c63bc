"""What predictions are worth: metrics as the official scorers compute them."""
