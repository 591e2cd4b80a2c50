-- The overview counts families, not vouchers: a family with three programmes is one, and a visit that was taken back is of
-- none. A cell says whom it is about in a way that cells can be put together: the twenty smallest hashes of its families'
-- references. Together they are again the smallest of all, so of any cells together it is known whether they are about
-- fewer than twenty families, and how many then; nothing asks for more.
ALTER TABLE overview_cells
    ADD COLUMN whom bigint[] NOT NULL DEFAULT '{}',  -- of those counted in this week, of visits: with one that stands at its end
    ADD COLUMN gone bigint[] NOT NULL DEFAULT '{}';  -- of visits alone, all: families of earlier weeks' `whom` with none that stands

-- When a worker began to count a week, whatever became of it: one that cannot be counted waits like any other, and stops
-- none of them.
ALTER TABLE overview_weeks ADD COLUMN tried_at timestamptz;

-- All weeks again, the newest first. Until then a figure of theirs is about too few.
UPDATE overview_weeks SET counted_at = NULL;
