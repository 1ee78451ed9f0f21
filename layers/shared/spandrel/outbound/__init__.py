"""Where this deployment may call at a user's word. What features and adapters share; it knows neither."""
