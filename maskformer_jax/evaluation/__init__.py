"""Predictions, metrics and plots of a trained model on a test file."""
