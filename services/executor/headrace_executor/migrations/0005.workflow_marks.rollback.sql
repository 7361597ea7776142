DROP TABLE IF EXISTS workflow_marks;
