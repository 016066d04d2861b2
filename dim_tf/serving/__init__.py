"""SavedModels behind HTTP, as TensorFlow Serving and others speak it."""
