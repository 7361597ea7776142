-- The extension stays: others' tables have vectors.
-- depends:
DO $$ BEGIN END $$;
