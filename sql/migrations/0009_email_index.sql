-- A change of the email address waits for nobody who only refers to the user.
--
-- A column of a unique index counts as part of a key, and an UPDATE that names it takes the lock that excludes even the
-- foreign keys of other rows: PATCH /me waited for an import of the same user to end. A partial index is never a key.
-- This one holds all rows all the same, and a violation still carries its name.
SET LOCAL ROLE jobforge_owner;

ALTER TABLE public.users DROP CONSTRAINT users_email_key;
CREATE UNIQUE INDEX users_email_key ON public.users (email) WHERE email IS NOT NULL;
