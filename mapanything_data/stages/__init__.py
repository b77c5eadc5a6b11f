"""One Work for each stage: joins source, labeler and storage."""
