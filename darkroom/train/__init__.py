"""Networks made from photos or pairs. torch is imported by the modules that need it, never here."""
