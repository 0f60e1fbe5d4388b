"""The paper's tables and figures from folders of results, with the paper's numbers beside ours."""
