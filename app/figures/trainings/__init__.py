"""What came of a training, drawn: errors on the rows held out, and what a model rests on."""
