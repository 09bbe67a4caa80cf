"""The paper's serial experiments on labelled images (section 3.1)."""
