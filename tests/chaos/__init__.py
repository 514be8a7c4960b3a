"""The kill test: clients who note what they ask and what they are told, faults of every kind, and a verifier that holds
the two against the database. `make chaos`; docs/reliability.md tells what it does and what it cannot show."""
