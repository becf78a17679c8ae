"""The people, places and products of the simulated Terrific Totes, with values that break careless code.

Apostrophes, commas in names, accents, leading zeros, a misspelt place and NULLs are about as frequent as in the real
database.
"""

ADDRESS_COLUMNS = ("address_line_1", "address_line_2", "district", "city", "postal_code", "country", "phone")

ADDRESSES = (
    ("0412 Lantern Wharf", None, None, "Skerrowby", "04117", "United Kingdom", "0191 408812"),
    (
        "77 Pannier Row",
        "Unit 4, The Old Mill",
        "Tallow Quarter",
        "Hexworth",
        "HX7 2QT",
        "United Kingdom",
        "1904 220187",
    ),
    ("1530 Marigold Bend", None, None, "Port Ellery", "30219-4471", "Australia", "0298 117640"),
    ("9 Rue des Tisserands", None, "Plateau", "Grand-Béréby", "00225", "Côte d'Ivoire", "2720 336158"),
    ("2618 Saffron Steps", "Kiln Yard", "Eastmarch", "Sariwol", "08215", "Republic of Korea", "5310 974402"),
    ("44 Ropewalk Hill", None, "Northgate", "Munsan-ri", "10818", "Republic of Korea", "3195 530026"),
    ("301 Chollima Parade", None, None, "Kaechon", "02290", "Democratic People's Republic of Korea", "8502 381105"),
    ("58 Lindenweg", None, None, "Sankt Orlach", "A-3911", "Austria", "0664 902377"),
    ("6 Fjellstubben", "Second Floor", None, "Langsund", "0587", "Norway", "2241 093516"),
    ("19 Viale dei Cordai", None, "Contrada Alta", "Borgo Sereno", "00184", "San Marino", "0549 887214"),
    ("8820 Tamarind Causeway", None, None, "Mahé Point", "00000", "Seychelles", "4303 218650"),
    ("237 Cedar Terrace", None, "Upper Souk", "Ras Beiruna", "1107-2810", "Lebanon", "0179 446203"),
    ("14 Pier Road", "Shed 12", None, "St. Bride's", "A1C 4K9", "Canada", "7095 318842"),
    ("510 Juniper Trace", None, None, "Dunmarrow", "07039-1180", "United States of America", "9735 600418"),
    ("3 Estrada da Juta", None, "Bairro Novo", "Angoche Velha", "3206", "Mozambique", "8421 775039"),
    ("66 Sisal Avenue", None, "Kijani", "Mikindo", "63301", "Tanzania, United Republic of", "0237 112984"),
    ("905 Weaver's Loop", "Block C", None, "Khovd Bulag", "84140", "Mongolia", "7043 559021"),
    ("12 Tapa Lane", None, None, "Vaitogi Bay", "96799-0031", "American Samoa", "6846 330178"),
    ("478 Bamboo Crossing", None, "Ban Nong", "Pakseang", "01160", "Lao People's Democratic Republic", "2021 876443"),
    ("71 Calle del Telar", None, None, "Puerto Aljibe", "05001", "Peru", "5144 290617"),
    ("2204 Coral Spur", None, "Weno", "Tonoas", "96942", "Micronesia (Federated States of)", "6913 302255"),
    ("35 Heather Loan", "Flat 0/1", None, "Inverlochty", "KW9 6ZD", "United Kingdom", "0141 553908"),
    ("8 Basalt Way", None, "Vesturbær", "Hraunvík", "0101", "Iceland", "3545 128870"),
    ("640 Monsoon Street", None, None, "Chandrapore", "013002", "India", "0221 840956"),
    ("17 Kalamata Steps", "Behind the Chandler's", "Kato Poli", "Nea Ithomi", "24022", "Greece", "2721 903364"),
    ("2951 Prairie Fork", None, "Cobb", "West Halloran", "30062-8714", "United States of America", "0770 415523"),
    ("5 Quai des Toiliers", "Entrepôt 9", None, "Saint-Aubrin", "06230", "France", "4932 287016"),
    ("113 Oasis Road", None, "Vieux Port", "Ghadara", "08400", "Algeria", "0299 631472"),
    ("86 Copra Drive", "P.O. Box 12, Rear", "Half-Way Tree", "Morant Cove", "JMAKN06", "Jamaica", "8765 209138"),
    ("4007 Steppe Boulevard", "Annex", "Oral", "Zharkentau", "090003", "Kazakhstan", "7112 504489"),
)

COUNTERPARTY_COLUMNS = ("counterparty_legal_name", "legal_address_id", "commercial_contact", "delivery_contact")

COUNTERPARTIES = (
    ("Marrow and Daughters", 14, "Philippa Marrow", "Mr. Otis Venn"),
    ("Quill, Tansy and Brook", 5, "Ines Quill", "Rupert Tansy"),
    ("Skerry Trading Ltd", 1, "Magnus Isbister", "Ailsa Rendall"),
    ("O'Driscoll Outfitters", 22, "Cormac O'Driscoll", "Sheila Prunty"),
    ("Baobab Imports", 16, "Neema Kileo", "Dr. Amani Swai"),
    ("Halvorsund AS", 9, "Tiril Aakre", "Jonas Vikan"),
    ("Lattimer - Cho", 5, "Grace Lattimer", "Cho Min-seo"),
    ("Northgate Stationers", 6, "Bae Ji-woo", "Park Eun-ha"),
    ("Pell, Orchard, and Sons", 14, "Edwin Pell", "Wilf Orchard"),
    ("Cordai Fratelli", 10, "Livia Cordai", "Nino Cordai III"),
    ("Tamarind & Clove", 11, "Odette Larue", "Marvin Payet"),
    ("Fernandez-Ruiz Group", 20, "Alma Ruiz", "Mrs. Pilar Fernandez"),
    ("Atelier d'Aubrin", 27, "Solène D'Arcy", "Bastien Roux"),
    ("Wexcombe Freight LLC", 26, "Dale Wexcombe", "Toni Reyes"),
    ("Sunder, Patel and Irani", 24, "Farah Irani", "Kiran Sunder"),
    ("Kestrel Inc", 14, "Joss Kestrel", "Ms. Ada Finch"),
    ("Greenholm - Vance", 3, "Bree Greenholm", "Col Vance"),
    ("Zhanar Textiles", 30, "Zhanar Akhmet", "Timur Bekov"),
    ("Orlach und Partner", 8, "Liesl Orlach", "Veit Kogler"),
    ("Tyne, Tees and Wear", 1, "Una Ridley", "Sid Charlton"),
)

CURRENCIES = ("GBP", "USD", "EUR")

DEPARTMENT_COLUMNS = ("department_name", "location", "manager")

DEPARTMENTS = (
    ("Sales", "Sheffield", "Dorothea Lamb"),
    ("Purchasing", "Sheffield", "Hamish Tolland"),
    ("Production", "Bradford", "Renata Kowal"),
    ("Dispatch", "Sheffeild", "Lenny Graves"),
    ("Finance", "Sheffield", "Constance Adeyemi"),
    ("Facilities", "Bradford", "Gareth Pugh"),
    ("Communications", "Bradford", "Yusra Halabi"),
    ("People", "Sheffield", "Bernard O'Malley"),
)

DESIGN_NAMES = (
    "Calico",
    "Canvas",
    "Corduroy",
    "Denim",
    "Felt",
    "Hemp",
    "Hessian",
    "Jute",
    "Linen",
    "Quilted",
    "Tartan",
    "Waxed",
)

FILE_LOCATIONS = (
    "/srv/artwork",
    "/srv/artwork/approved",
    "/srv/artwork/archive",
    "/srv/print",
    "/srv/print/proofs",
    "/srv/print/plates",
    "/mnt/studio",
    "/mnt/studio/drafts",
    "/mnt/studio/final",
    "/mnt/studio/old stuff",
    "/home/designs",
    "/home/designs/2021",
    "/home/designs/2022",
    "/home/designs/spring",
    "/home/designs/o'neil",
    "/opt/patterns",
    "/opt/patterns/seasonal",
    "/var/lib/patterns",
    "/var/spool/patterns",
    "/usr/share/patterns",
)

PAYMENT_TYPES = ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")

STAFF_COLUMNS = ("first_name", "last_name", "department_id", "email_address")

STAFF = tuple(
    (first, last, department, f"{first}.{last}@terrifictotes.example".lower().replace(" ", ""))
    for first, last, department in (
        ("Marguerite", "Oakes", 2),
        ("Niamh", "O'Dowd", 3),
        ("Tobias", "Fenn", 2),
        ("Adaeze", "Nwosu", 5),
        ("Pawel", "Zielony", 3),
        ("Rosalind", "Thackeray", 6),
        ("Declan", "O'Farrell", 8),
        ("Mei", "Tanaka-Holt", 2),
        ("Gus", "Blackadder", 7),
        ("Sunniva", "Dale", 3),
        ("Ibrahim", "Sesay", 6),
        ("Clementine", "De La Rue", 5),
        ("Arlo", "Winterbourne", 2),
        ("Zofia", "Marsh", 3),
        ("Kwabena", "Ofori", 4),
        ("Beatrix", "Lund", 7),
        ("Emrys", "Vaughan", 2),
        ("Salma", "Haddad", 8),
        ("Fergus", "MacAskill", 3),
        ("Josephine", "D'Souza", 6),
    )
)
