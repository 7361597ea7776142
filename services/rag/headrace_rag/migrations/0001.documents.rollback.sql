DROP TABLE IF EXISTS rag_documents;
DROP TABLE IF EXISTS rag_workspaces;
