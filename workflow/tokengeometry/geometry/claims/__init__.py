"""The paper's statements (Joseph et al. 2023), each with a statistic, an interval or a null, and a verdict."""
