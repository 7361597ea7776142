"""The built-in tools of data nodes, one module each. Their argument schemas are in `headrace_blueprint.tools`."""
