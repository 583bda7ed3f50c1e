"""The screen of `inv remote-top`. Textual, an extra, is imported here and by no other command."""
