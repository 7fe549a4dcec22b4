"""The store in etcd, beyond what the contract says: its failures, its background, its limits."""
