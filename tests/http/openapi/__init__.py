"""Test the OpenAPI document: against the routes, by a generated client, and by schemathesis."""
