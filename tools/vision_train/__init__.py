"""Training of the shipped vision model: renders, fine-tuning, export, model card. Never runs in CI.

Needs the packages of `tools/vision_train/requirements.txt` in a Python of its own.
"""
