"""The edge's clients of other services. gRPC and protobuf are known here only."""
