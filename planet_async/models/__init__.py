"""Models: what the API is sent and what it answers, as frozen records with the API's own field names."""
