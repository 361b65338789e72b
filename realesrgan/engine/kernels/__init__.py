"""Networks computed by compiled code of our own instead of torch: `native` runs them, `source` is the C++."""
