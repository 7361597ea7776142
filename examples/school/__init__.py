"""A school's records as a REST service, and workflows that use them."""
