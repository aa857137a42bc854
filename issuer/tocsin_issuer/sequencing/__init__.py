"""The sequencer's shell: the outbox becomes records, one after the other, under the fence."""
