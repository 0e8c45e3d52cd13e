"""The platform: pictures are tagged when they are uploaded, and what is uploaded again is traced to its owner."""

DATABASE_VARIABLE = "FAKETAGGER_DATABASE"
