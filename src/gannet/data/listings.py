"""Sizes, sha256s and paths of data sets of many files, and which of Shakespeare's plays is what: tables, for the catalogue."""

from __future__ import annotations

#: As the First Folio of 1623 sorts its plays: Cymbeline is a tragedy there, and Troilus stands before the tragedies.
PLAYS: dict[str, tuple[str, ...]] = {
    "comedy": (
        "a-midsummer-night-s-dream",
        "a-winter-s-tale",
        "all-s-well-that-ends-well",
        "as-you-like-it",
        "love-s-labours-lost",
        "measure-for-measure",
        "much-ado-about-nothing",
        "the-comedy-of-errors",
        "the-merchant-of-venice",
        "the-merry-wives-of-windsor",
        "the-taming-of-the-shrew",
        "the-tempest",
        "twelfth-night",
        "two-gentlemen-of-verona",
    ),
    "history": (
        "henry-iv-part-1",
        "henry-iv-part-2",
        "henry-v",
        "henry-vi-part-1",
        "henry-vi-part-2",
        "henry-vi-part-3",
        "henry-viii",
        "king-john",
        "richard-ii",
        "richard-iii",
    ),
    "tragedy": (
        "antony-and-cleopatra",
        "coriolanus",
        "cymbeline",
        "hamlet",
        "julius-caesar",
        "king-lear",
        "macbeth",
        "othello",
        "romeo-and-juliet",
        "timon-of-athens",
        "titus-andronicus",
        "troilus-and-cressida",
    ),
}

#: The plays that nothing is learnt from, two of a kind.
HELD_OUT = ("twelfth-night", "the-tempest", "henry-v", "king-john", "macbeth", "julius-caesar")

#: size, sha256, path
TANG = """
408405 4f88f429938082523cdc72a1612bd7a7c3e3f7a33f8192c61ae51340efc3c92d quantangshi/poet.tang.0.json
477519 6e703b8d8dcedbd6110f6d48d043665ca2131db2035a5bfcef5e59a19aeb6d75 quantangshi/poet.tang.1000.json
613029 b97d1c5509ab62f5b433dee2020c11c4deda4542e276683d1ada6619c34c2113 quantangshi/poet.tang.10000.json
445111 9adf1835246053c821d99af39ce9092e14a94e1baf91740098bd9fc6f6f1cd27 quantangshi/poet.tang.11000.json
440019 ec43d055a219d52ecdb58cd30a8a444189392f0d68b92a41495df1c72c5fd095 quantangshi/poet.tang.12000.json
420898 eb9c85072d7913bb972e07c72f0123e9d7addca22cfd833cb79a5d74b1c76ebf quantangshi/poet.tang.13000.json
409199 1e366dd3fb5a011091524bed36e4edff5d015bf0ddb14143f298515387dbd9a9 quantangshi/poet.tang.14000.json
422310 0386e58f46517daa3af0e0f385e0223f1efc0dac53afbe8fea64f99074d870b7 quantangshi/poet.tang.15000.json
380057 1c477aef1fc50523f9baf10f29d2d89201a14c4c73001c1c041d0fe8464d11db quantangshi/poet.tang.16000.json
485658 11bac8333b2042975b9844423d113ff2c6fdf701c8b08a5b3aaa6bc9472222de quantangshi/poet.tang.17000.json
537556 37543a147d16e3576d5f45ba8f7b8b51fc311bc10eddae9440f16f2d5ae885c2 quantangshi/poet.tang.18000.json
431381 dea74b41bc807ce2527bb119862a251e3a92b6f69bdf9f98b1434a8336830542 quantangshi/poet.tang.19000.json
417948 ec28efa7e2ae9cdbbba09f0ed186e32ccae47a325ad1e5816b7ad56071c1665a quantangshi/poet.tang.2000.json
477671 8ccf0783888b15bec60d0253e278cd4b67e94a77725df8ed079d4d8062d050b4 quantangshi/poet.tang.20000.json
572847 bddae814c82bf6a9fd294504aa48794bca5f03e986110739b1577aa811125cbd quantangshi/poet.tang.21000.json
557450 d7e7efe3f67415455ae93974a5aa67427e99f6713fde27920bfb657ad3204c4a quantangshi/poet.tang.22000.json
444324 220a535a762349ec1beed00f1dc11293ccefc70bda15c5258bbcab208b14337f quantangshi/poet.tang.23000.json
462622 2f40a4ec0e4469c29f0f028d7a4ad73b83850aa271be9b63ea0c08de6e094dee quantangshi/poet.tang.24000.json
410976 7e7c00ba3f7a95e97de5440f85affa9d54b420d31995b449e97a3e9ea00259f5 quantangshi/poet.tang.25000.json
392620 74b5bed25622da1611928fdb31297fafadaf2876ce32ddb0c8b6d12d772979f4 quantangshi/poet.tang.26000.json
373469 11626fcc310bbbcc601f7c8c4d8a664cef4907076cd7ec4f16268ee5b921ba44 quantangshi/poet.tang.27000.json
402527 86a15affa95859046f869ffd4850886250d1a181e5151b1f096f728fb2d67502 quantangshi/poet.tang.28000.json
432343 e1a0cffe17b4f109399db38f2b23f9b6668b8ca1c3c24e36d5cbe4f40a925862 quantangshi/poet.tang.29000.json
453811 9e4ba2323752b6b9fbdba875cdbc6a26636fe0cabc85fd066370d4915952001f quantangshi/poet.tang.3000.json
394062 e71996f771d15476bae48751081b473b381774b5d335f6163b183f70a2eaed01 quantangshi/poet.tang.30000.json
406846 f1efaf172d4f6fa9aaacfa4160feb766189989c3264da6ce3a6d64a7c97097bb quantangshi/poet.tang.31000.json
417563 fcb2096245719199249ad23e75eac6997b5a4341564dd1cf73ce8008975b3d74 quantangshi/poet.tang.32000.json
438157 35abb37f65817ee4630cfeb2db286832e505873c477e12f14693bcd20e920885 quantangshi/poet.tang.33000.json
416020 4b656a62b6a187792c96a632c7e33f443eabda8b48c4fb5dfdda72cf02003095 quantangshi/poet.tang.34000.json
381490 a9671b350e58b805fda88b2c17fa0bf3a05313017d28485010e6f60a69bdf945 quantangshi/poet.tang.35000.json
393811 1c8e71a32743b37d318bf8beb44b8809a8079011231cf3c7106e2c59f03c55b4 quantangshi/poet.tang.36000.json
376582 4c37d2d92ee6fdd73299ef13c91e17b9cbb11ef59d1e024254db1eceb95dc7ae quantangshi/poet.tang.37000.json
400487 08b2ce85e59eac59fe621921b62c15528e9dfb6a102994297703ad67e14aa83f quantangshi/poet.tang.38000.json
404803 791d0171fe1dc88cee8424ae0281f495ed0dcdf042f97f2a3fc9b37e05e9426c quantangshi/poet.tang.39000.json
488655 b8a7946c879b9658a6c667a4c55f776fae7e5e00a17789ab06b274c1429afc66 quantangshi/poet.tang.4000.json
361783 851d0c3cb796c7f7c63a7765e28564b2c3be3d9691c9f43f88d4d3c64034b5d8 quantangshi/poet.tang.40000.json
376339 3c12f59a5103e582eed9fe6ae13affddc030a31e9956efb13cb7768296ba7396 quantangshi/poet.tang.41000.json
390623 060026beb06028864bce48e8074e2690f92a1dc5a76ee91f98f2d62b5f02a15c quantangshi/poet.tang.42000.json
430665 de5e658dccbcf0d2b38312b39a2423459b88ef893830bc145d453d82887a5753 quantangshi/poet.tang.43000.json
400949 8c6d550818f5390413bc58fbb3af059d3fa4a92264b1bcf84439c2b0bb043985 quantangshi/poet.tang.44000.json
439632 5177a4747b785f04897c36b77d5e033b11a7bcad759d1557fdb425166b8767f3 quantangshi/poet.tang.45000.json
402034 287e548147e6959306b74c862a1ebe43cdca39adee34e2c63ae5d3b5eaced1f5 quantangshi/poet.tang.46000.json
389163 8b43cce475ed43b1105a12a8bdcef32ac22dc056c5f2c616a2976a4103b5d8ac quantangshi/poet.tang.47000.json
323882 8df4861e8d7bc114e91d0a5e37d193f662485cd88b8d09289cc5ac9ab243c3ed quantangshi/poet.tang.48000.json
402881 418e5a082cb70c4f85ce842affec8828a53f6296882e45339c74d553fc46495e quantangshi/poet.tang.49000.json
467225 a0306e6962cff01639ad9a00b042a201b8dec1f30fa5d768a7b112589887861e quantangshi/poet.tang.5000.json
609835 894bf4e729932d2b48ba731a48075347cf55626c08ac9f30b2fe412ca9e4e895 quantangshi/poet.tang.50000.json
549433 9bd1b263807c5c64bca773b76d4861a49af19b76184f88260d6080bb03311928 quantangshi/poet.tang.51000.json
561704 1124f4b27f46bd1ffaafdda530719eddbe41858778a0a13e4557ea4eb49ffef0 quantangshi/poet.tang.52000.json
480142 75841062fa939e72ee12669859933c9178b88a5c5492bc9ba84d9ef7c6f1e65a quantangshi/poet.tang.53000.json
467600 cd2ba326b80ff8490723ad9fb1ace812306f0e433b74268420165068b0a975ac quantangshi/poet.tang.54000.json
442729 3782736dfee847958363d4adeff1236f148aff3726f2964963b17b06dad2f97b quantangshi/poet.tang.55000.json
470081 274ad6e13c069e35856e53b5dee6821ad2aa9bf8b2a5f969e2eb1234fe954bca quantangshi/poet.tang.56000.json
234965 e04c137b040c1a91e16614178c189d0c30a68e1d4657ea8fde8467601e3ac121 quantangshi/poet.tang.57000.json
470031 982a21d2b15922b406911f1c825785054314c686da86b2155d7aebb362d22771 quantangshi/poet.tang.6000.json
474558 a6fb69d7b4343c904dc56ae5aae34facc2478d196b51c37ceba9d1e2f171b342 quantangshi/poet.tang.7000.json
574248 ac3848e95b02736168003863795de4474838c2d6a71a24ca2a4a280ea5177773 quantangshi/poet.tang.8000.json
476882 b99d6596e3a1fe1a661652383083f92d196b8baf4e461d087081d5e1e1b7a51f quantangshi/poet.tang.9000.json
"""

#: size, sha256, path
SONG = """
406936 7761bc5ef50305753ea3dcea9e1ef3164e153e3ee366169e9c5a9a7d85b21b22 songci/ci.song.0.json
368986 5f79a2d9011e6d414f04e51176c5d4f4c762fd784dce98b035968367b6f2ef4e songci/ci.song.1000.json
401864 8d37b015132bf9776fb41c44d445572d2cd9bf5e250dde213596c480e5962545 songci/ci.song.10000.json
414634 9a4f5082638f82339afbde99f1af7bae1719207f77d5516cb8f6d370c9c1d0c9 songci/ci.song.11000.json
417329 a89094fed6b3003c171a9036052ff6a289367b4dd68d97c000b5f5e90ea2df2f songci/ci.song.12000.json
435352 dd51b268dec508d44a18e2d4a84edd109ff8c532b6eace4160ea88674f62515c songci/ci.song.13000.json
498986 9d7410bcaebc31685e3d999c6af218a3583fd8e9f57cacf640c66607121e2dbf songci/ci.song.14000.json
502382 5e441c85494955290138ed8561decb3f302d3628fe390cea3477e1d446039525 songci/ci.song.15000.json
478885 d003d66c58e40fab1d2a40f17f6149eef53a126c7e54b035153ceae4fe707742 songci/ci.song.16000.json
472066 b46b9f908b5bb0a3b4dd18f268c233a50b8b794d6ab1ec79afcb3612792f0574 songci/ci.song.17000.json
481281 751cf8ee2a925f4957d010e6f4bf46cc9e0a90a176cfb731185ba43ecb72b14b songci/ci.song.18000.json
341771 c6becb6a81cc04e25564f501ff768482b6c328d976c48e2003c8b8bd94ef4612 songci/ci.song.19000.json
389037 f700d8e14df62d371dfba7ce18bf1641c304540907b26b68d356c4b6b256fe8d songci/ci.song.2000.json
434930 1dfc08051969ab2ecdfa3eea8b29bf79d3dfe9ad1133127f25f622c2b14348c2 songci/ci.song.20000.json
2498 2a7539735776c3f33c952ee0a5422b0f646276c2e36dcd28cbe89a267251e407 songci/ci.song.2019y.json
18904 3344ba453ae7840339944ce29e4295b5b668d79f79210a99e6e1a58ee874dbc5 songci/ci.song.21000.json
417829 1791391a8a2ca855e133f7ea48bf0c104b3890d628ae2929f9378960a66c1427 songci/ci.song.3000.json
395848 48c3e33bab920e17929ea08300c4c5ca72b246669ed5767e5cb985d894514150 songci/ci.song.4000.json
388016 1e10ee4be18e225c2efa0bb8d58691ebb6d40cd83588f308d9635a37392bdadd songci/ci.song.5000.json
390822 8ff2b21b4e92a435f72da04fcb935a6a3498e839cde5c837ea418871f133c248 songci/ci.song.6000.json
415095 8fe3f7ac40ab7d6c80cdd42305e848c1dc51cff26bc42b335ddfdfaccd48d1ba songci/ci.song.7000.json
390756 8d9c26a4aa62264d2eea853944e47a1420dd94e7465bee7c3e52cec2cf8bd653 songci/ci.song.8000.json
397207 bd6a4d90b17ef195f32e38dfa483b0d39d671db3cdd5b462b292aac6916f26a6 songci/ci.song.9000.json
"""

#: size, sha256, path
PLAYS_FILES = """
99742 b7abd194d2e9521094f9d31cd7ab64afb265f3c6395a9c06930d6ed3d3c85882 comedies/a-midsummer-night-s-dream.md
130985 050ebcd7f53f4005323f63c47899aa7a1c221d51feeea9744e479a90ec59c760 comedies/as-you-like-it.md
136556 f5f7ce76dd925ae7d8b1ee7e0cd00c8578269d409489590f59e478b49809a030 comedies/love-s-labours-lost.md
129463 fe7d78339b6aeda516e7304b5024847679f65cf6533ba99f2c8c5f50ac630e0d comedies/much-ado-about-nothing.md
93245 ad81080fdd0f876a58552204be0126c90112dc0f08af3e9b66906839881d61cb comedies/the-comedy-of-errors.md
137390 e6c415ddd3f6726451288f189aa9181ab999a87befb05051e50a1706c30c55c9 comedies/the-merry-wives-of-windsor.md
122434 4eff8f165b92bc04df6654b85c1d452b5d460f2cd84559cb71b346cc9ae3cdf1 comedies/twelfth-night.md
106800 563b597056868459df80500773cf36f9ff60c6da38fb487c2d6ab942b8ad106f comedies/two-gentlemen-of-verona.md
149920 425b2edb96c83041f62f2b4fd0c21179301cd271eed0c9a8d5fa28d5ff9009ee histories/henry-iv-part-1.md
162507 d24390121b74caae9a176dab60cee0e64f5c0fe4db4565efb247907030f89572 histories/henry-iv-part-2.md
159624 4abd088c9b5ac35a940adbf92567127b257a35ce252e1c8212c1dc6dfa103789 histories/henry-v.md
137028 d6ac535010c6a470929612f524074ae9909b8e9c77182ed14484404b85edd5e3 histories/henry-vi-part-1.md
157170 cb87cd6354518acf4b9553b0070199eb4ba20db723c2fea030e6f4899acb5a83 histories/henry-vi-part-2.md
152470 e02a4e50bfbafffb9dfe04fd4e33ed4f0aa90779fb2abef72cd9ca4bfd969b10 histories/henry-vi-part-3.md
152202 5d3710183d04ce1089ee2cd0c93644434627990e786ca0bdbf0e57aa55a458d6 histories/henry-viii.md
126037 62ced8a8d2fe6afb9193b5a592a9df6d6772145ff4c2d758b1ec5d8538f2125b histories/king-john.md
138408 b56721f914139c14105f52d0e46e61d7a92c575d5b6d0f1bd83a551c4454f510 histories/richard-ii.md
185826 0df48f893df2c4e0a73f34d1e70989c98b53fa82beb77fb851b3c0907b3aa0fa histories/richard-iii.md
140867 ed59822e9638300b7503807b5d2f252d509f1022940045767d83395334b3b1ff problems/all-s-well-that-ends-well.md
135863 c5ea418447cd5d52c8139401810f4c80a055e9c863eee9f62aa02821328d9334 problems/measure-for-measure.md
126434 6304fe303a8909f247a582e23039b4c6cdab6cf90b313296a9f55db499ea2f67 problems/the-merchant-of-venice.md
129487 cfa88701190a0b5c4b4dd46c0eb45575faa92eb6f2d42061dbbd544b5855e33b problems/the-taming-of-the-shrew.md
165738 8fc1a34a5be4c16f4bf43d9d4b768b8f7324db722974ec33c6ebdb163a807756 problems/troilus-and-cressida.md
163905 00a25c6dd067cedf66aa4fc6b17734df028925b2810ddf5574341f9f95864b2e roman/antony-and-cleopatra.md
174446 7db3803ca2f2544b6fad809f6a2057f3c91deb297fddf712e9c059df86783e4b roman/coriolanus.md
122085 fc9b83057c0b69253725aa87d27dab918ecdab320a82ef0d1d088eff334c5c26 roman/julius-caesar.md
127702 0bbe887eea655f75211bec635a9e667e7b8c7c793f5b98cb2d5aea40903b461a roman/titus-andronicus.md
150418 3ff59db76da8b2ed4f9884b27c01eed26960251b9e42e6fffe8ca1ecb68521a4 romances/a-winter-s-tale.md
170166 ce44919faf76c2661d246c5e9a5dcc98ab5edf4335444b8db79693e259497120 romances/cymbeline.md
103379 9d479aa316057f09124ec3fab2236203b19ccccbde4292b8ad9d59d0660bf544 romances/the-tempest.md
189481 662f98ffb9fa50dea6174f29b5b4c47506dc42c81a920898f22cd1f778cca694 tragedies/hamlet.md
163976 7ab229fcd654940ecf070ef3c3e88906191bb9743dede6d4770c03c61db38024 tragedies/king-lear.md
108666 e86156c8d2fedc29501fd0c23e6ae94f54d5ae8e238fb7ac97a46c5107ea70fb tragedies/macbeth.md
163726 49eec4161d308bca259e27d28c73c95d03b43d584588568b5a4012f6e1961bfa tragedies/othello.md
149287 a33325e8f67fefd39792ceddda5093f94c3c8bb4b3521f54642f37fba95505da tragedies/romeo-and-juliet.md
117322 5a2073348878b50c43a68752134f6fcf4eb1d57f0d3541088873cb8d6d490f04 tragedies/timon-of-athens.md
"""
