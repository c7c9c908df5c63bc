"""The report: results → plain data (`content`) → charts → one self-contained page."""
