//! Tests too long to stand beside the code they test.
