"""What the contract does not say of a store in PostgreSQL: failures, forks, many processes."""
