"""REST and SSE in front of Headrace's gRPC services. It holds no run state."""
