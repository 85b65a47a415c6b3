-- A database that pysync_web left in format 2.
PRAGMA application_id = 1886999383;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE changes (id INTEGER PRIMARY KEY, source INTEGER NOT NULL, touched TEXT);
INSERT INTO "changes" VALUES(1,8485422710670965077,'[["docs", ["notes", "n00"]], ["docs", ["notes", "n01"]], ["docs", ["notes", "n02"]], ["docs", ["notes", "n03"]], ["docs", ["notes", "n04"]], ["docs", ["notes", "n05"]], ["docs", ["notes", "n06"]], ["docs", ["notes", "n07"]], ["docs", ["notes", "n08"]], ["docs", ["notes", "n09"]], ["docs", ["notes", "n10"]], ["docs", ["notes", "n11"]], ["meta", ["identity"]], ["outbox", [-1]], ["outbox", [0]], ["outbox", [1]]]');
INSERT INTO "changes" VALUES(2,8485422710670965077,'[["docs", ["notes", "n03"]], ["docs", ["notes", "n04"]], ["outbox", [-1]], ["big", [1152921504606846976, "\u00e9"]]]');
CREATE TABLE records (
            space TEXT NOT NULL, key BLOB NOT NULL, text TEXT NOT NULL, PRIMARY KEY (space, key)
        ) WITHOUT ROWID;
INSERT INTO "records" VALUES('big',X'01393030303030303030303030303030300002C3A900','[1.0,9007199254740993]');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303000','{"n":0,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303100','{"n":1,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303200','{"n":2,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303400','"changed"');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303500','{"n":5,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303600','{"n":6,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303700','{"n":7,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303800','{"n":8,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E303900','{"n":9,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E313000','{"n":10,"title":"Überschrift"}');
INSERT INTO "records" VALUES('docs',X'026E6F74657300026E313100','{"n":11,"title":"Überschrift"}');
INSERT INTO "records" VALUES('meta',X'026964656E7469747900','{"id":"0123"}');
INSERT INTO "records" VALUES('outbox',X'013830303030303030303030303030303000','{"op":1}');
INSERT INTO "records" VALUES('outbox',X'013830303030303030303030303030303100','{"op":2}');
COMMIT;
